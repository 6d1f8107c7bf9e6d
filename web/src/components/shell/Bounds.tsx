/** Where a part of the page breaks, the rest goes on, and it is said what to do. */
import { Component, type ReactNode } from "react";
import { Button } from "@/ui/Button";
import { EmptyState } from "@/ui/EmptyState";
import { words } from "@/words/en";

interface State {
  error: Error | null;
}

export class Bounds extends Component<{ children: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <div role="alert" className="h-full overflow-y-auto">
        <EmptyState
          title={words.problems.broke}
          actions={
            <>
              <Button onClick={() => this.setState({ error: null })}>{words.problems.again}</Button>
              <Button kind="primary" onClick={() => location.reload()}>
                {words.problems.reload}
              </Button>
            </>
          }
        >
          <p>{words.problems.brokeHint}</p>
          <p className="mt-2 break-words font-mono text-xs">{error.message}</p>
        </EmptyState>
      </div>
    );
  }
}
