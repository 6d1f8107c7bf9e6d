/** The frame around every page of somebody who is in: the sidebar, the top bar of small windows,
 * what is said to those who hear, toasts, and the way to the login where nobody is in any more. */
import { Menu as MenuIcon } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { onLoggedOut } from "@/api/http";
import { Palette } from "@/components/palette/Palette";
import { useSaid } from "@/components/shell/announce";
import { Logo } from "@/components/shell/Logo";
import { Nav } from "@/components/shell/Nav";
import { Sidebar } from "@/components/sidebar/Sidebar";
import { Drawer } from "@/ui/Drawer";
import { IconButton } from "@/ui/IconButton";
import { Toaster } from "@/ui/Toast";
import { words } from "@/words/en";

export function Shell({ children }: { children: ReactNode }) {
  const [location, go] = useLocation();
  const [open, setOpen] = useState(false);
  useEffect(
    () => onLoggedOut(() => go(`/login?to=${encodeURIComponent(location)}`)),
    [go, location],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: a drawer closes when the page changes
  useEffect(() => setOpen(false), [location]);
  return (
    <div className="flex h-full">
      <a
        href="#content"
        className="fixed top-2 left-2 z-50 -translate-y-16 rounded-lg bg-accent px-3 py-2 text-accent-ink text-sm focus:translate-y-0"
      >
        {words.nav.skip}
      </a>
      <aside
        aria-label={words.nav.main}
        className="hidden w-64 shrink-0 border-line border-r bg-side md:block"
      >
        <Frame />
      </aside>
      <div className="flex min-w-0 flex-1 flex-col">
        <header className="flex h-12 shrink-0 items-center gap-1 border-line border-b px-2 md:hidden">
          <IconButton
            label={words.nav.openMenu}
            icon={<MenuIcon />}
            onClick={() => setOpen(true)}
          />
          <Link href="/" className="rounded-lg px-1">
            <Logo narrow />
          </Link>
          <div id="topbar" className="flex min-w-0 flex-1 items-center justify-end gap-1" />
        </header>
        <main id="content" tabIndex={-1} className="min-h-0 flex-1 outline-none">
          {children}
        </main>
      </div>
      <Drawer bare side="left" open={open} onOpenChange={setOpen} title={words.nav.main}>
        <Frame />
      </Drawer>
      <Palette />
      <Toaster />
      <Said />
    </div>
  );
}

function Frame() {
  return (
    <div className="flex h-full min-h-0 flex-col bg-side">
      <div className="flex h-14 shrink-0 items-center px-4">
        <Link href="/" className="rounded-lg">
          <Logo />
        </Link>
      </div>
      <Sidebar />
      <Nav />
    </div>
  );
}

function Said() {
  const text = useSaid((state) => state.text);
  return (
    <div role="status" aria-live="polite" className="sr-only">
      {text}
    </div>
  );
}
