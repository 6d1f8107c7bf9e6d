// Before anything is painted: a page must not flash in the other theme.
(() => {
  let choice = "system";
  try {
    choice = localStorage.getItem("forge.theme") || "system";
  } catch {
    choice = "system";
  }
  const dark =
    choice === "dark" ||
    (choice === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
