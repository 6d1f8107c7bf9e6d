/** Where one makes an account. */
import { SignUpForm } from "@/components/accounts/SignUpForm";

export default function SignUp() {
  return <SignUpForm />;
}
