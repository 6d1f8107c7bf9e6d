/** An address that is no page's. */
import { useLocation } from "wouter";
import { Button } from "@/ui/Button";
import { EmptyState } from "@/ui/EmptyState";
import { words } from "@/words/en";

export function NotFound() {
  const [, go] = useLocation();
  return (
    <EmptyState
      title={words.problems.noPage}
      actions={<Button onClick={() => go("/")}>{words.problems.toStart}</Button>}
    >
      {words.problems.noPageHint}
    </EmptyState>
  );
}
