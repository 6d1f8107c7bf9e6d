/** A labelled control, with what it is for below it and what is wrong in words. */
import { type ComponentProps, type ReactNode, useId } from "react";
import { cn } from "@/lib/cn";

const box =
  "w-full rounded-lg border border-line-strong bg-panel px-3 text-sm text-ink placeholder:text-faint focus-visible:outline-offset-0 disabled:opacity-60 aria-invalid:border-bad";

export interface Wired {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

export interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  className?: string;
  /** The control; it is given what ties it to its label. */
  children: (wired: Wired) => ReactNode;
}

export function Field({ label, hint, error, className, children }: FieldProps) {
  const id = useId();
  const note = error ?? hint;
  const wired: Wired = {
    id,
    ...(note ? { "aria-describedby": `${id}-note` } : {}),
    ...(error ? { "aria-invalid": true as const } : {}),
  };
  return (
    <div className={cn("flex flex-col gap-1.5", className)}>
      <label htmlFor={id} className="font-medium text-sm">
        {label}
      </label>
      {children(wired)}
      {note ? (
        <p id={`${id}-note`} className={cn("text-xs", error ? "text-bad" : "text-muted")}>
          {note}
        </p>
      ) : null}
    </div>
  );
}

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input {...rest} className={cn(box, "h-9", className)} />;
}

export function Textarea({ className, ...rest }: ComponentProps<"textarea">) {
  return <textarea {...rest} className={cn(box, "min-h-20 py-2", className)} />;
}

export interface SelectProps extends ComponentProps<"select"> {
  options: readonly { value: string; label: string }[];
}

export function Select({ options, className, ...rest }: SelectProps) {
  return (
    <select {...rest} className={cn(box, "h-9 pr-8", className)}>
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
