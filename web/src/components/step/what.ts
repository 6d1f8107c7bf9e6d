/** What a tool call does, in words and in code, as far as the model has written it. Pure. */
import { partialObject } from "@/lib/partial";
import { words } from "@/words/en";

export interface What {
  title: string;
  code: string;
  language: string;
}

const LONGEST_TITLE = 120;

const ENDINGS: Readonly<Record<string, string>> = {
  css: "css",
  html: "html",
  js: "javascript",
  json: "json",
  md: "markdown",
  py: "python",
  sh: "bash",
  sql: "sql",
  ts: "typescript",
  yaml: "yaml",
  yml: "yaml",
};

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The first comment or docstring of a program says what it is for. */
function purpose(code: string): string {
  const comment = /^\s*(?:#(?!!)\s*|"""\s*|'''\s*)([^\n]{3,})/.exec(code)?.[1] ?? "";
  const said = comment
    .replace(/("""|''').*$/, "")
    .replace(/[\s.#=*-]+$/, "")
    .trim();
  return said.length < 3 ? "" : clip(said);
}

function clip(line: string): string {
  return line.length > LONGEST_TITLE ? `${line.slice(0, LONGEST_TITLE - 1)}…` : line;
}

function language(path: string): string {
  return ENDINGS[path.slice(path.lastIndexOf(".") + 1).toLowerCase()] ?? "";
}

export function whatOf(name: string, input: string): What {
  const given = partialObject(input);
  const did = words.step.did[name] ?? name;
  const said = clip(text(given.title).trim());
  const path = text(given.path);
  switch (name) {
    case "run_python": {
      const code = text(given.code);
      return { title: said || purpose(code) || did, code, language: "python" };
    }
    case "run_shell": {
      const code = text(given.command);
      const first = code.split("\n", 1)[0] ?? "";
      return { title: said || purpose(code) || clip(first) || did, code, language: "bash" };
    }
    case "write_file":
      return { title: `${did} ${path}`, code: text(given.content), language: language(path) };
    case "read_file":
    case "list_files":
      return { title: `${did} ${path}`.trim(), code: "", language: "" };
    default:
      return { title: did, code: input, language: "json" };
  }
}
