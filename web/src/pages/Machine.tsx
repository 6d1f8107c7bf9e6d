/** The page `Machine`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Machine() {
  return (
    <Page title={words.pages.machine}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
