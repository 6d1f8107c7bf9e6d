/** The page `Admin`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Admin() {
  return (
    <Page title={words.pages.admin}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
