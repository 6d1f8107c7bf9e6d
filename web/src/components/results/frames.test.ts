import { describe, expect, it } from "vitest";
import { atRest } from "@/components/results/Frame";
import { numberOf, tableOf } from "@/components/results/frames";

describe("the HTML of a result", () => {
  it("is no table where there are several, or pictures in it, or none", () => {
    expect(tableOf("<table></table><table></table>")).toBeNull();
    expect(tableOf("<table><tr><td><img src=x></td></tr></table>")).toBeNull();
    expect(tableOf("<p>words</p>")).toBeNull();
  });

  it("comes to rest before it is shown", () => {
    const html = atRest(
      '<meta http-equiv="refresh" content="0"><link rel="preconnect" href="https://out.example"><a href="https://out.example" ping="https://out.example">a</a><script>1</script>',
    );
    expect(html).not.toContain("https://out.example");
    expect(html).not.toContain("refresh");
    expect(html).not.toContain("<script>");
    expect(html).toContain("default-src 'none'");
  });

  it("has numbers that are written as people write them", () => {
    expect(["1,234", "-2.5", "13.7%", "$5", "1e3"].map(numberOf)).toEqual([
      1234, -2.5, 13.7, 5, 1000,
    ]);
    expect(["", "1.2.3", "jan", "-"].map(numberOf)).toEqual([null, null, null, null]);
  });
});
