/** The page `Login`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Login() {
  return (
    <Page title={words.pages.login}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
