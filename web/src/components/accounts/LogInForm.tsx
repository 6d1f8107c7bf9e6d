/** Log in: by a password, or at whoever else vouches for people here. */
import { type FormEvent, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useLogIn, useWays } from "@/api/queries/accounts";
import { Entry, wantedPlace } from "@/components/accounts/Entry";
import { Trouble } from "@/components/shell/Trouble";
import { Button } from "@/ui/Button";
import { Field, Input } from "@/ui/Field";
import { words } from "@/words/en";

export function LogInForm() {
  const { data: ways } = useWays();
  const logIn = useLogIn();
  const [, go] = useLocation();
  const to = wantedPlace(useSearch());
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const send = (event: FormEvent) => {
    event.preventDefault();
    logIn.mutate({ email, password }, { onSuccess: () => go(to, { replace: true }) });
  };
  const open = ways?.sign_up === "open";
  return (
    <Entry
      title={words.accounts.logIn}
      foot={
        open ? (
          <Link href="/sign-up" className="text-accent-text underline underline-offset-2">
            {words.accounts.toSignUp}
          </Link>
        ) : (
          words.accounts.byInvitation
        )
      }
    >
      {ways?.oidc ? (
        <a
          href={ways.oidc.url}
          className="mb-4 flex h-9 items-center justify-center rounded-lg border border-line font-medium text-sm hover:bg-hover"
        >
          {words.accounts.at(ways.oidc.name)}
        </a>
      ) : null}
      {ways?.password === false ? null : (
        <form onSubmit={send} className="flex flex-col gap-4">
          {logIn.error ? <Trouble error={logIn.error} /> : null}
          <Field label={words.accounts.email}>
            {(wired) => (
              <Input
                {...wired}
                type="email"
                autoComplete="username"
                required
                autoFocus
                value={email}
                onChange={(event) => setEmail(event.target.value)}
              />
            )}
          </Field>
          <Field label={words.accounts.password}>
            {(wired) => (
              <Input
                {...wired}
                type="password"
                autoComplete="current-password"
                required
                value={password}
                onChange={(event) => setPassword(event.target.value)}
              />
            )}
          </Field>
          <Button kind="primary" type="submit" busy={logIn.isPending}>
            {words.accounts.logIn}
          </Button>
        </form>
      )}
    </Entry>
  );
}
