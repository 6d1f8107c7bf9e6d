/** A table that sorts by the columns that say how. Wide ones scroll inside themselves. */
import { ArrowDown, ArrowUp, ChevronsUpDown } from "lucide-react";
import { type ReactNode, useMemo, useState } from "react";
import { cn } from "@/lib/cn";

export interface Column<Row> {
  id: string;
  label: string;
  cell: (row: Row) => ReactNode;
  /** What it is sorted by; a column without is not sortable. */
  sort?: (row: Row) => string | number;
  numeric?: boolean;
  className?: string;
}

export interface TableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowId: (row: Row, index: number) => string;
  onOpen?: (row: Row) => void;
  className?: string;
  /** A head that stays in view, in a table of this height. */
  maxHeight?: string;
}

interface Order {
  id: string;
  down: boolean;
}

function compare(one: string | number, other: string | number): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rows, rowId, onOpen, className, maxHeight } = props;
  const [order, setOrder] = useState<Order | null>(null);
  const sorted = useMemo(() => {
    const by = columns.find((column) => column.id === order?.id)?.sort;
    if (!by || !order) return rows;
    return [...rows].sort((a, b) => (order.down ? compare(by(b), by(a)) : compare(by(a), by(b))));
  }, [rows, columns, order]);
  const turn = (id: string) =>
    setOrder((now) =>
      now?.id !== id ? { id, down: false } : now.down ? null : { id, down: true },
    );
  return (
    // What scrolls must be reachable by keyboard.
    <section
      aria-label={label}
      tabIndex={0}
      className={cn("focus-inset overflow-auto rounded-xl border border-line", className)}
      style={maxHeight ? { maxHeight } : undefined}
    >
      <table className="w-full border-collapse text-sm">
        <thead className="sticky top-0 bg-sunken text-left">
          <tr>
            {columns.map((column) => (
              <Head key={column.id} column={column} order={order} onTurn={turn} />
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row, index) => (
            <tr
              key={rowId(row, index)}
              onClick={onOpen ? () => onOpen(row) : undefined}
              className={cn("border-line border-t", onOpen && "cursor-pointer hover:bg-hover")}
            >
              {columns.map((column) => (
                <td
                  key={column.id}
                  className={cn(
                    "px-3 py-2 align-top",
                    column.numeric && "text-right tabular-nums",
                    column.className,
                  )}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface HeadProps<Row> {
  column: Column<Row>;
  order: Order | null;
  onTurn: (id: string) => void;
}

function Head<Row>({ column, order, onTurn }: HeadProps<Row>) {
  const on = order?.id === column.id;
  const Icon = on ? (order.down ? ArrowDown : ArrowUp) : ChevronsUpDown;
  const sorted = on ? (order.down ? "descending" : "ascending") : "none";
  return (
    <th
      scope="col"
      aria-sort={column.sort ? sorted : undefined}
      className={cn("whitespace-nowrap px-3 py-2 font-semibold", column.numeric && "text-right")}
    >
      {column.sort ? (
        <button
          type="button"
          onClick={() => onTurn(column.id)}
          className="inline-flex items-center gap-1 rounded font-semibold hover:text-accent-text"
        >
          {column.label}
          <Icon aria-hidden className={cn("size-3.5", on ? "text-accent-text" : "text-faint")} />
        </button>
      ) : (
        column.label
      )}
    </th>
  );
}
