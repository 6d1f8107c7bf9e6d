/** The page `Run`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Run() {
  return (
    <Page title={words.pages.run}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
