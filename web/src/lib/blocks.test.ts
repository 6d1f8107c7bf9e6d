import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blocksOf, Growing, withoutHead } from "@/lib/blocks";

describe("the blocks of a text", () => {
  it("hold all of it, however it grew", () => {
    const piece = fc.constantFrom(
      "a",
      "\n",
      "\n\n",
      "```\n",
      "| a | b |\n",
      "- x\n",
      "# h\n",
      "$$",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const growing = new Growing();
        let text = "";
        for (const each of pieces) {
          text += each;
          expect(growing.blocks(text).join("")).toBe(blocksOf(text).join(""));
        }
      }),
    );
  });

  it("show no head of a table before it is one", () => {
    expect(withoutHead("| a | b")).toBe("");
    expect(withoutHead("| a | b |\n| -")).toBe("");
    expect(withoutHead("| a | b |\n| - | - |")).toBe("| a | b |\n| - | - |");
    expect(withoutHead("| a | b |\n| - | - |\n| 1")).toBe("| a | b |\n| - | - |\n| 1");
    expect(withoutHead("words | and more")).toBe("words | and more");
  });
});
