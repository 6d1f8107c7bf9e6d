/** What else can be done with a conversation: rename, share, export, fork, delete. */
import { Download, Ellipsis, GitFork, Pencil, Share2, Trash2 } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import type { Talk } from "@/api/__generated__/api";
import {
  type ExportFormat,
  exportAddress,
  useChangeConversation,
  useDeleteConversation,
  useForkConversation,
  useShare,
} from "@/api/queries/conversations";
import { say } from "@/components/chat/say";
import { Button } from "@/ui/Button";
import { copyText } from "@/ui/CopyButton";
import { Dialog } from "@/ui/Dialog";
import { Field, Input } from "@/ui/Field";
import { IconButton } from "@/ui/IconButton";
import { Menu, type MenuItem } from "@/ui/Menu";
import { toast } from "@/ui/Toast";
import { words } from "@/words/en";

const FORMATS: readonly ExportFormat[] = ["markdown", "ipynb", "json"];

export function More({ talk }: { talk: Talk }) {
  const [asked, setAsked] = useState<"rename" | "delete" | null>(null);
  const [, go] = useLocation();
  const fork = useForkConversation();
  const share = useShare(talk.id);
  const forked = (machine: boolean) =>
    fork.mutate(
      { id: talk.id, at: { machine } },
      { onSuccess: (made) => go(`/c/${made.id}`), onError: say },
    );
  const shared = () =>
    share.mutate(undefined, {
      onSuccess: async ({ url }) => {
        await copyText(url);
        toast({ title: words.chat.shared, text: words.chat.sharedHint, tone: "ok" });
      },
      onError: say,
    });
  const items: MenuItem[] = [
    { label: words.chat.rename, icon: <Pencil />, onSelect: () => setAsked("rename") },
    { label: words.chat.share, icon: <Share2 />, note: words.chat.shareNote, onSelect: shared },
    ...FORMATS.map((format, at) => ({
      label: words.chat.exportAs[format],
      icon: <Download />,
      separate: at === 0,
      onSelect: () => location.assign(exportAddress(talk.id, format)),
    })),
    {
      label: words.chat.fork,
      icon: <GitFork />,
      separate: true,
      onSelect: () => forked(false),
    },
    {
      label: words.chat.forkMachine,
      icon: <GitFork />,
      note: words.chat.forkNote,
      onSelect: () => forked(true),
    },
    {
      label: words.ui.delete,
      icon: <Trash2 />,
      danger: true,
      separate: true,
      onSelect: () => setAsked("delete"),
    },
  ];
  return (
    <>
      <Menu
        label={words.ui.more}
        trigger={<IconButton label={words.ui.more} icon={<Ellipsis />} />}
        items={items}
      />
      {asked === "rename" ? <Rename talk={talk} onDone={() => setAsked(null)} /> : null}
      {asked === "delete" ? <Delete talk={talk} onDone={() => setAsked(null)} /> : null}
    </>
  );
}

interface AskedProps {
  talk: Talk;
  onDone: () => void;
}

function Rename({ talk, onDone }: AskedProps) {
  const [title, setTitle] = useState(talk.title);
  const change = useChangeConversation();
  return (
    <Dialog open onOpenChange={onDone} title={words.chat.rename}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate({ id: talk.id, changes: { title } }, { onSuccess: onDone, onError: say });
        }}
      >
        <Field label={words.chat.titleOf}>
          {(wired) => (
            <Input
              {...wired}
              autoFocus
              required
              maxLength={200}
              value={title}
              onChange={(event) => setTitle(event.target.value)}
            />
          )}
        </Field>
        <div className="mt-4 flex justify-end">
          <Button kind="primary" type="submit" busy={change.isPending}>
            {words.ui.save}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Delete({ talk, onDone }: AskedProps) {
  const remove = useDeleteConversation();
  const [, go] = useLocation();
  return (
    <Dialog
      open
      onOpenChange={onDone}
      title={words.chat.deleteTitle}
      description={words.chat.deleteHint(talk.title || words.chat.untitled)}
      actions={
        <>
          <Button onClick={onDone}>{words.ui.cancel}</Button>
          <Button
            kind="danger"
            busy={remove.isPending}
            onClick={() => remove.mutate(talk.id, { onSuccess: () => go("/"), onError: say })}
          >
            {words.ui.delete}
          </Button>
        </>
      }
    />
  );
}
