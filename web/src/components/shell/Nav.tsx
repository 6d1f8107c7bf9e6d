/** The ways to the other pages, the theme, and who is in. */
import {
  Activity,
  Database,
  LogOut,
  Monitor,
  Moon,
  Settings,
  ShieldAlert,
  ShieldCheck,
  Sun,
  User,
  Users,
  Wallet,
} from "lucide-react";
import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useLogOut, useMe } from "@/api/queries/accounts";
import { cn } from "@/lib/cn";
import { type Theme, useTheme } from "@/state/theme";
import { IconButton } from "@/ui/IconButton";
import { Menu } from "@/ui/Menu";
import { words } from "@/words/en";

interface Way {
  to: string;
  label: string;
  icon: ReactNode;
  admin?: boolean;
}

const WAYS: readonly Way[] = [
  { to: "/runs", label: words.nav.runs, icon: <Activity /> },
  { to: "/memory", label: words.nav.memory, icon: <Database /> },
  { to: "/money", label: words.nav.money, icon: <Wallet /> },
  { to: "/egress", label: words.nav.egress, icon: <ShieldCheck /> },
  { to: "/risk", label: words.nav.risk, icon: <ShieldAlert /> },
  { to: "/settings", label: words.nav.settings, icon: <Settings /> },
  { to: "/admin", label: words.nav.admin, icon: <Users />, admin: true },
];

const THEMES: readonly { id: Theme; label: string; icon: ReactNode }[] = [
  { id: "system", label: words.nav.themeSystem, icon: <Monitor /> },
  { id: "light", label: words.nav.themeLight, icon: <Sun /> },
  { id: "dark", label: words.nav.themeDark, icon: <Moon /> },
];

export function Nav() {
  const { data: me } = useMe();
  const [location] = useLocation();
  return (
    <div className="shrink-0 border-line border-t p-2">
      <nav aria-label={words.nav.main}>
        <ul className="flex flex-col">
          {WAYS.filter((way) => !way.admin || me?.role === "admin").map((way) => {
            const here = location === way.to || location.startsWith(`${way.to}/`);
            return (
              <li key={way.to}>
                <Link
                  href={way.to}
                  aria-current={here ? "page" : undefined}
                  className={cn(
                    "focus-inset flex h-8 items-center gap-2.5 rounded-lg px-2.5 text-muted text-sm hover:bg-hover hover:text-ink [&>svg]:size-4",
                    here && "bg-accent-soft font-medium text-accent-text",
                  )}
                >
                  {way.icon}
                  {way.label}
                </Link>
              </li>
            );
          })}
        </ul>
      </nav>
      <Who />
    </div>
  );
}

function Who() {
  const { data: me } = useMe();
  const { theme, choose } = useTheme();
  const [, go] = useLocation();
  const out = useLogOut();
  const local = me?.via === "local";
  const icon = THEMES.find((each) => each.id === theme)?.icon;
  return (
    <div className="mt-1 flex items-center gap-1 border-line border-t pt-2">
      <Link
        href="/settings/account"
        className="focus-inset flex min-w-0 flex-1 items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-sm hover:bg-hover"
      >
        <User aria-hidden className="size-4 shrink-0 text-muted" />
        <span className="truncate">{local ? words.nav.singleUser : (me?.name ?? "")}</span>
      </Link>
      <Menu
        label={words.nav.theme}
        trigger={<IconButton small label={words.nav.theme} icon={icon} />}
        items={THEMES.map((each) => ({
          label: each.label,
          icon: each.icon,
          checked: each.id === theme,
          onSelect: () => choose(each.id),
        }))}
      />
      {me && !local ? (
        <IconButton
          small
          label={words.nav.logOut}
          icon={<LogOut />}
          onClick={() => out.mutate({}, { onSuccess: () => go("/login") })}
        />
      ) : null}
    </div>
  );
}
