/** The page `Welcome`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Welcome() {
  return (
    <Page title={words.pages.welcome}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
