/** The page `Runs`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Runs() {
  return (
    <Page title={words.pages.runs}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
