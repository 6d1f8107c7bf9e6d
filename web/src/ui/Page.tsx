/** The frame of a page that is not a conversation: its title, what can be done, and what it has. */
import type { ReactNode } from "react";
import { cn } from "@/lib/cn";

export interface PageProps {
  title: string;
  description?: ReactNode;
  actions?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}

export function Page({ title, description, actions, wide, children }: PageProps) {
  return (
    <div className="h-full overflow-y-auto">
      <title>{`${title} · Forge`}</title>
      <div className={cn("mx-auto px-4 py-6 sm:px-8", wide ? "max-w-6xl" : "max-w-4xl")}>
        <div className="mb-6 flex flex-wrap items-start justify-between gap-3">
          <div className="min-w-0">
            <h1 className="break-words font-semibold text-xl tracking-tight">{title}</h1>
            {description ? <div className="mt-1 text-muted text-sm">{description}</div> : null}
          </div>
          {actions ? <div className="flex flex-wrap gap-2">{actions}</div> : null}
        </div>
        {children}
      </div>
    </div>
  );
}
