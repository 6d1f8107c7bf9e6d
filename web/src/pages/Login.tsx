/** Where one logs in. */
import { LogInForm } from "@/components/accounts/LogInForm";

export default function Login() {
  return <LogInForm />;
}
