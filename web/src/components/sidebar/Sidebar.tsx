/** One's conversations. */
import { SquarePen } from "lucide-react";
import { Link, useLocation } from "wouter";
import { useConversations } from "@/api/queries/conversations";
import { cn } from "@/lib/cn";
import { words } from "@/words/en";

export function Sidebar() {
  const [location] = useLocation();
  const { data } = useConversations();
  const found = data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <div className="flex min-h-0 flex-1 flex-col px-2">
      <Link
        href="/"
        aria-current={location === "/" ? "page" : undefined}
        className={cn(
          "focus-inset flex h-9 shrink-0 items-center gap-2.5 rounded-lg px-2.5 text-muted text-sm hover:bg-hover hover:text-ink",
          location === "/" && "bg-accent-soft font-medium text-accent-text",
        )}
      >
        <SquarePen aria-hidden className="size-4" />
        {words.nav.chat}
      </Link>
      <nav aria-label={words.sidebar.conversations} className="mt-2 min-h-0 flex-1 overflow-y-auto">
        <ul>
          {found.map((each) => (
            <li key={each.id}>
              <Link
                href={`/c/${each.id}`}
                aria-current={location.startsWith(`/c/${each.id}`) ? "page" : undefined}
                className={cn(
                  "focus-inset block truncate rounded-lg px-2.5 py-1.5 text-sm hover:bg-hover",
                  location.startsWith(`/c/${each.id}`) && "bg-hover font-medium",
                )}
              >
                {each.title || words.sidebar.untitled}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
    </div>
  );
}
