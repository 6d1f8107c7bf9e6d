/** A problem that needs no place of its own on the page: said in a toast. */
import { Problem } from "@/api/http";
import { toast } from "@/ui/Toast";

export function say(error: unknown): void {
  const title = error instanceof Error ? error.message : String(error);
  toast({ title, text: error instanceof Problem ? error.hint : undefined, tone: "bad" });
}
