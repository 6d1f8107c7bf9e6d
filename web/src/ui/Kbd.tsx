/** A key of the keyboard. */
export function Kbd({ children }: { children: string }) {
  return (
    <kbd className="rounded border border-line bg-sunken px-1.5 py-px font-mono text-2xs text-muted">
      {children}
    </kbd>
  );
}
