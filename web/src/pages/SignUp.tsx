/** The page `SignUp`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function SignUp() {
  return (
    <Page title={words.pages.signUp}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
