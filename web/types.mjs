// TypeScript of a JSON schema that comes in; what it is called is the argument.
import { readFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

const text = await compile(JSON.parse(readFileSync(0, "utf8")), process.argv[2] ?? "Everything", {
  bannerComment: "/* Made from the server's own schemas by scripts/webtypes.py. Do not edit. */",
  additionalProperties: false,
  maxItems: -1,
  strictIndexSignatures: false,
  style: { printWidth: 100 },
  unreachableDefinitions: true,
});
process.stdout.write(text);
