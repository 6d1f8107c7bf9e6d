import { describe, expect, it } from "vitest";
import { dollars, mathless } from "@/lib/math";

describe("formulas in Markdown", () => {
  it("are told from prices and code", () => {
    expect(mathless("It costs $5, or $6 a month.")).toBe(true);
    expect(mathless("from $312,400 to $441,050")).toBe(true);
    expect(mathless("```\n$x^2$\n```")).toBe(true);
    expect(mathless("so $x^2$ it is")).toBe(false);
    expect(mathless("so \\(a\\) it is")).toBe(false);
  });

  it("get the dollars that remark-math reads, and prices none", () => {
    expect(dollars("\\(x\\) for $5")).toBe("$x$ for \\$5");
    expect(dollars("so $x_1$ costs $5")).toBe("so $x_1$ costs \\$5");
    expect(dollars("`$HOME` and $x^2$")).toBe("`$HOME` and $x^2$");
    expect(dollars("$$ \\text{`a`} $$")).toBe("\n$$\n\\text{`a`}\n$$\n");
  });

  it("cannot be made of what marks them meanwhile", () => {
    expect(dollars("\ue0000\ue000 $x^2$")).toBe("0 $x^2$");
  });
});
