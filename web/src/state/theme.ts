/** Dark or light: the person's choice, or as the system has it. `public/theme.js` sets it first. */
import { create } from "zustand";

export type Theme = "system" | "light" | "dark";

const KEY = "forge.theme";

function kept(): Theme {
  try {
    const said = localStorage.getItem(KEY);
    return said === "light" || said === "dark" ? said : "system";
  } catch {
    return "system";
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");

function show(theme: Theme): void {
  const dark = theme === "dark" || (theme === "system" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

interface ThemeState {
  theme: Theme;
  choose: (theme: Theme) => void;
}

export const useTheme = create<ThemeState>()((set) => ({
  theme: kept(),
  choose: (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing has the choice until the page is left.
    }
    show(theme);
    set({ theme });
  },
}));

system.addEventListener("change", () => show(useTheme.getState().theme));
