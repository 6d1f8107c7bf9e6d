/** Hands a text or bytes over as a download. */
export function save(content: string | Blob, name: string): void {
  const blob = typeof content === "string" ? new Blob([content]) : content;
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The download has begun by then; what it reads from is kept until it is through.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
