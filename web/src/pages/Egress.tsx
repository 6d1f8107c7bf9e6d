/** The page `Egress`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Egress() {
  return (
    <Page title={words.pages.egress}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
