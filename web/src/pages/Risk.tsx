/** The page `Risk`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Risk() {
  return (
    <Page title={words.pages.risk}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
