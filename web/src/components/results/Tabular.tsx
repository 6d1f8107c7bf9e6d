/** Rows of text as a table that can be sorted; numbers stand below each other. */
import { useMemo, useState } from "react";
import { numberOf } from "@/components/results/frames";
import { number } from "@/lib/format";
import { Button } from "@/ui/Button";
import { type Column, Table } from "@/ui/Table";
import { words } from "@/words/en";

export interface TabularProps {
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  note?: string;
}

type Row = readonly string[];

/** So many rows are drawn until more are wanted. */
const SHOWN = 100;

function isNumeric(rows: readonly Row[], at: number): boolean {
  const given = rows.slice(0, 50).flatMap((row) => (row[at] ? [row[at]] : []));
  const numbers = given.filter(
    (text) => numberOf(text) !== null || /^(nan|none|…|\.\.\.)$/i.test(text),
  );
  return given.length > 0 && numbers.length === given.length;
}

export function Tabular({ columns, rows, note }: TabularProps) {
  const [all, setAll] = useState(false);
  const shown = all ? rows : rows.slice(0, SHOWN);
  const made = useMemo(
    () =>
      columns.map((label, at): Column<Row> => {
        const numeric = isNumeric(rows, at);
        return {
          id: String(at),
          label: label || (at === 0 ? "#" : ""),
          cell: (row) => row[at] ?? "",
          sort: (row) => {
            const text = row[at] ?? "";
            return numeric ? (numberOf(text) ?? Number.NEGATIVE_INFINITY) : text;
          },
          numeric,
          className: "whitespace-nowrap",
        };
      }),
    [columns, rows],
  );
  return (
    <div className="flex min-w-0 flex-col gap-2">
      <Table
        label={words.results.table}
        columns={made}
        rows={shown}
        rowId={(_, index) => String(index)}
        maxHeight="26rem"
      />
      <div className="flex items-center gap-3 text-muted text-xs">
        <span>{note || words.results.partOf(number(shown.length), number(rows.length))}</span>
        {shown.length < rows.length ? (
          <Button size="small" kind="quiet" onClick={() => setAll(true)}>
            {words.ui.showMore}
          </Button>
        ) : null}
      </div>
    </div>
  );
}
