/** The panel of files: beside the conversation where there is room, over it where there is not. */
import { X } from "lucide-react";
import { lazy, Suspense, useSyncExternalStore } from "react";
import { Drawer } from "@/ui/Drawer";
import { IconButton } from "@/ui/IconButton";
import { Skeleton } from "@/ui/Skeleton";
import { words } from "@/words/en";

const Panel = lazy(async () => ({
  default: (await import("@/components/artifacts/ArtifactsPanel")).ArtifactsPanel,
}));

const WIDE = "(min-width: 1100px)";

function useWide(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = window.matchMedia(WIDE);
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => window.matchMedia(WIDE).matches,
  );
}

export interface FilesProps {
  conversation: string;
  open: boolean;
  onClose: () => void;
}

export function Files({ conversation, open, onClose }: FilesProps) {
  const wide = useWide();
  const panel = (
    <Suspense fallback={<Skeleton className="m-4 h-10" />}>
      <Panel conversation={conversation} />
    </Suspense>
  );
  if (!wide) {
    return (
      <Drawer
        side="right"
        open={open}
        onOpenChange={(now) => !now && onClose()}
        title={words.artifacts.title}
      >
        {panel}
      </Drawer>
    );
  }
  if (!open) return null;
  return (
    <aside
      aria-label={words.artifacts.title}
      className="flex w-[26rem] shrink-0 flex-col border-line border-l bg-panel"
    >
      <div className="flex h-14 shrink-0 items-center border-line border-b pr-2 pl-4">
        <span className="flex-1 font-semibold text-sm">{words.artifacts.title}</span>
        <IconButton small label={words.artifacts.close} icon={<X />} onClick={onClose} />
      </div>
      <div className="min-h-0 flex-1 overflow-y-auto">{panel}</div>
    </aside>
  );
}
