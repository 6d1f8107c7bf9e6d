/** The page `Settings`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Settings() {
  return (
    <Page title={words.pages.settings}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
