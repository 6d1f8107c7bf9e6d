/** The frame of the pages before one is in: the name, what is asked, and the other way. */
import type { ReactNode } from "react";
import { Logo } from "@/components/shell/Logo";

export interface EntryProps {
  title: string;
  children: ReactNode;
  foot?: ReactNode;
}

export function Entry({ title, children, foot }: EntryProps) {
  return (
    <main className="flex min-h-full flex-col items-center justify-center bg-side px-4 py-10">
      <title>{`${title} · Forge`}</title>
      <div className="mb-6">
        <Logo />
      </div>
      <div className="w-full max-w-sm rounded-2xl border border-line bg-panel p-6 shadow-box">
        <h1 className="mb-5 font-semibold text-lg tracking-tight">{title}</h1>
        {children}
      </div>
      {foot ? <p className="mt-5 text-muted text-sm">{foot}</p> : null}
    </main>
  );
}

/** Where one wanted to go; an address of this console and of nobody else. */
export function wantedPlace(search: string): string {
  const to = new URLSearchParams(search).get("to") ?? "/";
  return /^\/(?![/\\])/.test(to) ? to : "/";
}
