/** The cache of what the server said. Problems that no retry mends are not tried again. */
import { QueryClient } from "@tanstack/react-query";
import { Problem } from "@/api/http";

function again(failures: number, error: unknown): boolean {
  if (!(error instanceof Problem)) return false;
  const passing = error.status === 0 || error.status === 429 || error.status >= 500;
  return passing && error.facts.retry !== false && failures < 3;
}

export function makeClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { retry: again, staleTime: 5_000, refetchOnWindowFocus: true },
      mutations: { retry: false },
    },
  });
}
