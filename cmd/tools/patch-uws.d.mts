export class PatchRefused extends Error {}
export function compareVersions(a: string, b: string): -1 | 0 | 1
export function patchUws(input: Buffer): { bytes: Buffer; patched: string[]; needs: string }
export function runningGlibc(): string | undefined
export function patchPackage(
  folder: string,
  machine: { glibc: string | undefined; arch: string },
): string
