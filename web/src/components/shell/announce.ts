/** Words for those who hear the page: said once, politely, by the shell's live region. */
import { create } from "zustand";

interface Said {
  text: string;
  say: (text: string) => void;
}

export const useSaid = create<Said>()((set, get) => ({
  text: "",
  // The same words twice are heard twice only where the text differs.
  say: (text) => set({ text: get().text === text ? `${text}\u00a0` : text }),
}));

export function announce(text: string): void {
  useSaid.getState().say(text);
}
