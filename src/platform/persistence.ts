/** @file Asking the browser to keep this origin's files, which only pages may do: workers cannot. */

/** The part of the DOM's declarations that is used, which these files are compiled without. */
interface Storage {
  persist?(): Promise<boolean>;
}

/** Asks; the answer is what `persisted` then says everywhere. Nothing happens where there is nobody to ask. */
export async function askToPersist(): Promise<void> {
  const { storage } = (Reflect.get(globalThis, 'navigator') ?? {}) as { readonly storage?: Storage };
  // Refusals are no errors, and private windows may throw.
  await storage?.persist?.().catch(() => false);
}
