/** Which page an address shows. Addresses hold state; every page but the chat is loaded when it is
 * asked for. `src/forge/server/console.py` knows the first words of these addresses too. */
import { type ComponentType, type LazyExoticComponent, lazy, Suspense } from "react";
import { Route, Switch, useLocation } from "wouter";
import { Bounds } from "@/components/shell/Bounds";
import { NotFound } from "@/components/shell/NotFound";
import { Shell } from "@/components/shell/Shell";
import { Chat } from "@/pages/Chat";
import { Spinner } from "@/ui/Spinner";
import { TooltipProvider } from "@/ui/Tooltip";
import { words } from "@/words/en";

type Page = LazyExoticComponent<ComponentType> | ComponentType;

/** Pages in the shell: those of somebody who is logged in. */
const INSIDE: readonly (readonly [string, Page])[] = [
  ["/c/:id/machine", lazy(() => import("@/pages/Machine"))],
  ["/runs", lazy(() => import("@/pages/Runs"))],
  ["/runs/:id/diff/:other", lazy(() => import("@/pages/Diff"))],
  ["/runs/:id", lazy(() => import("@/pages/Run"))],
  ["/settings/:tab?", lazy(() => import("@/pages/Settings"))],
  ["/admin/:tab?", lazy(() => import("@/pages/Admin"))],
  ["/money", lazy(() => import("@/pages/Money"))],
  ["/memory", lazy(() => import("@/pages/Memory"))],
  ["/egress", lazy(() => import("@/pages/Egress"))],
  ["/risk", lazy(() => import("@/pages/Risk"))],
];

/** Pages of their own. */
const OUTSIDE: readonly (readonly [string, Page])[] = [
  ["/login", lazy(() => import("@/pages/Login"))],
  ["/sign-up", lazy(() => import("@/pages/SignUp"))],
  ["/invite", lazy(() => import("@/pages/SignUp"))],
  ["/welcome", lazy(() => import("@/pages/Welcome"))],
  ["/shared/:token?", lazy(() => import("@/pages/Shared"))],
];

export function Routes() {
  const [location] = useLocation();
  return (
    <TooltipProvider>
      <Switch>
        {OUTSIDE.map(([path, Content]) => (
          <Route key={path} path={path}>
            <Bounds key={location}>
              <Suspense fallback={<Waiting />}>
                <Content />
              </Suspense>
            </Bounds>
          </Route>
        ))}
        <Route>
          <Shell>
            <Bounds key={location}>
              <Suspense fallback={<Waiting />}>
                <Inside />
              </Suspense>
            </Bounds>
          </Shell>
        </Route>
      </Switch>
    </TooltipProvider>
  );
}

function Inside() {
  return (
    <Switch>
      <Route path="/">
        <Chat key="new" />
      </Route>
      <Route path="/c/:id">{({ id }) => <Chat key={id} id={id} />}</Route>
      {INSIDE.map(([path, Content]) => (
        <Route key={path} path={path}>
          <Content />
        </Route>
      ))}
      <Route>
        <NotFound />
      </Route>
    </Switch>
  );
}

function Waiting() {
  return (
    <div className="flex h-full min-h-40 items-center justify-center text-muted">
      <Spinner label={words.ui.loading} />
    </div>
  );
}
