/** Make an account: an open one, or by an invitation, whose token is behind the address's `#`. */
import { type FormEvent, useState } from "react";
import { Link, useLocation } from "wouter";
import { useSignUp } from "@/api/queries/accounts";
import { Entry } from "@/components/accounts/Entry";
import { Trouble } from "@/components/shell/Trouble";
import { Button } from "@/ui/Button";
import { Field, Input } from "@/ui/Field";
import { words } from "@/words/en";

export function SignUpForm() {
  const signUp = useSignUp();
  const [, go] = useLocation();
  const [invite] = useState(() => location.hash.slice(1));
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const send = (event: FormEvent) => {
    event.preventDefault();
    signUp.mutate(
      { name, email, password, ...(invite ? { invite } : {}) },
      { onSuccess: () => go("/", { replace: true }) },
    );
  };
  return (
    <Entry
      title={invite ? words.accounts.invited : words.accounts.signUp}
      foot={
        <Link href="/login" className="text-accent-text underline underline-offset-2">
          {words.accounts.toLogIn}
        </Link>
      }
    >
      <form onSubmit={send} className="flex flex-col gap-4">
        {signUp.error ? <Trouble error={signUp.error} /> : null}
        <Field label={words.accounts.name}>
          {(wired) => (
            <Input
              {...wired}
              autoComplete="name"
              required
              autoFocus
              maxLength={200}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label={words.accounts.email}>
          {(wired) => (
            <Input
              {...wired}
              type="email"
              autoComplete="username"
              required
              value={email}
              onChange={(event) => setEmail(event.target.value)}
            />
          )}
        </Field>
        <Field label={words.accounts.password} hint={words.accounts.passwordHint}>
          {(wired) => (
            <Input
              {...wired}
              type="password"
              autoComplete="new-password"
              required
              minLength={10}
              maxLength={1024}
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        <Button kind="primary" type="submit" busy={signUp.isPending}>
          {words.accounts.signUp}
        </Button>
      </form>
    </Entry>
  );
}
