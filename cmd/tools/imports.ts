/**
 * What a TypeScript file of this repository refers to. Reads the text, as TypeScript 7 has no parser
 * to call; it relies on the formatter for statements that begin a line.
 */
export type Reference = {
  /** `./codec.ts`, `node:fs`, `nanoid`, `@noble/hashes/sha2.js`. */
  specifier: string
  /** `static` includes type imports: they bind just as much. `url` is `new URL('./x.ts', import.meta.url)`. */
  kind: 'static' | 'dynamic' | 'url'
  line: number
}

const STATIC = /^(?:import|export)\b(?:[^'"`;=()]*?\bfrom)?\s*'([^'\n]+)'/gm
const DYNAMIC = /\b(?:import|require)\(\s*['"`]([^'"`\n]+)['"`]/g
const URL = /\bnew URL\(\s*['"`](\.[^'"`\n]+)['"`],\s*import\.meta\.url/g
const COMPUTED = /\bimport\((?!\s*['"`])/g

/** The text with comments blanked out, at the same line numbers. */
export const withoutComments = (source: string): string =>
  source
    .replace(/^([ \t]*)\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1')

export const lineAt = (source: string, index: number): number =>
  source.slice(0, index).split('\n').length

export function readImports(source: string): Reference[] {
  const code = withoutComments(source)
  const found: Reference[] = []
  for (const [kind, pattern] of [
    ['static', STATIC],
    ['dynamic', DYNAMIC],
    ['url', URL],
  ] as const) {
    for (const match of code.matchAll(pattern)) {
      found.push({ specifier: match[1]!, kind, line: lineAt(code, match.index) })
    }
  }
  return found
}

/** Lines with an `import(…)` of something computed, which nobody can follow. */
export const computedImports = (source: string): number[] => {
  const code = withoutComments(source)
  return [...code.matchAll(COMPUTED)].map((match) => lineAt(code, match.index))
}

/** `@noble/hashes/sha2.js` → `@noble/hashes`; undefined for a file or a builtin of Node. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('/') || specifier.startsWith('node:')) {
    return undefined
  }
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
}
