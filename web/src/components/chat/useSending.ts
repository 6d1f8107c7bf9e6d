/** Saying something: to the run that goes on, or as a new message, once its files are there. */
import { useEffect, useRef, useState } from "react";
import type { Steering } from "@/components/chat/useSteering";
import type { TalkWays } from "@/components/chat/useTalk";
import type { Uploads } from "@/components/composer/useUploads";

export interface SendingFrom {
  ways: TalkWays;
  steering: Steering;
  uploads: Uploads;
  text: string;
  setText: (text: string) => void;
  model: string;
  /** The run that goes on. */
  running: string | null;
}

export interface Sending {
  /** Whether it goes by itself once its files are there. */
  armed: boolean;
  send: (what?: string) => Promise<void>;
}

export function useSending(from: SendingFrom): Sending {
  const { ways, steering, uploads, text, setText, model, running } = from;
  const [armed, setArmed] = useState(false);

  const send = async (what: string = text) => {
    if (running) {
      setText("");
      if (!(await steering.say(running, what))) setText(what);
      return;
    }
    if (uploads.busy) {
      setArmed(true);
      return;
    }
    const files = uploads.files.flatMap((each) =>
      each.id ? [{ id: each.id, name: each.name }] : [],
    );
    setText("");
    uploads.clear();
    if (!(await ways.ask({ text: what, files, model }))) setText(what);
  };

  const now = useRef(send);
  now.current = send;
  const ready = armed && !uploads.busy;
  const failed = uploads.files.some((each) => each.state === "failed");
  useEffect(() => {
    if (!ready) return;
    setArmed(false);
    // What failed is in view, and can be tried again or left out.
    if (!failed) void now.current();
  }, [ready, failed]);
  return { armed, send };
}
