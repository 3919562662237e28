/** A text that breaks whatever takes bytes for characters: emoji, joiners, right to left, CJK, combining marks. */

const PIECES = [
  // Emoji: skin tones, families by ZWJ, flags, keycaps, a subdivision flag.
  ...['🙂', '👍🏽', '👩🏾‍🚀', '👨‍👩‍👧‍👦', '🏳️‍🌈', '🇺🇳', '7️⃣', '🏴󠁧󠁢󠁳󠁣󠁴󠁿', '❤️‍🔥', '🧑🏻‍🤝‍🧑🏿'],
  // Right to left, with points, tatweel and both directions in one word.
  ...['שָׁלוֹם עוֹלָם', 'مَرْحَبًا بِالْعَالَم', 'کتابخانهٔ', 'سلامـــــ', '‏abc‎ אבג 123'],
  // CJK, also beyond the basic plane, Hangul as syllables and as conjoining jamo, half and full width.
  ...['你好，世界。', '𠮷野家で𩸽', 'こんにちは', 'ﾊﾝｶｸ', '안녕하세요', '한글', 'Ａ１！'],
  // Combining marks: the same letter composed and not, stacked marks, Indic clusters, Thai, Tibetan.
  ...['é é', 'Z̷̢̛͎͔̈́̏a̸̞͌l̴̰̽g̶̱̈́o̷', 'क्षत्रिय', 'நிறைய', 'ภาษาไทยน้ำ', 'བོད་སྐད', 'Việt Việt'],
  // What is no letter: zero width, soft hyphen, no-break and ideographic space, line separators that are no line break.
  ...[
    'a\u200bb\u200cc\u2060d',
    'so\u00adft',
    'no\u00a0break\u3000wide',
    'one\u2028two\u2029three\u0085',
  ],
  // What a terminal, a shell or a parser might take for its own; a byte order mark; edges of the planes.
  ...[
    '\ttab\t',
    '\u001b[31mred\u001b[0m',
    '\\n "quoted" $HOME `x` %s {}',
    '<b>&amp;</b>',
    '\ufeffBOM',
  ],
  ...['\u0000nul', '\u007f\u0080', '\ud7ff\ue000\uffff', '\u{10000}\u{10ffff}', '\r'],
  ...['plain words of the Latin sort', 'Ærøskøbing', 'ﬁn ß ẞ İ ı', '½ № ℃ ㍿', '∀x∈ℝ: ⌈x⌉=−⌊−x⌋'],
] as const

/** One line in so many is about as long as a message may be. */
const LONG_IN = 250
/** Bytes of a message, less what a piece and the number take. */
const LONG_BYTES = 8_000

const encoder = new TextEncoder()

/** `count` lines without line breaks, each different, none longer than a message; `random` gives 0 ≤ x < 1. */
export const textOf = (count: number, random: () => number): string[] =>
  Array.from({ length: count }, (_, i) => {
    const pieces = [`#${i + 1}#`]
    const below = (most: number): number => Math.floor(random() * most)
    const take = (): string => PIECES[below(PIECES.length)]!
    if (below(LONG_IN) > 0) {
      for (let left = below(6); left >= 0; left--) pieces.push(take())
      // The number stands first, last or in the middle: what is cut off at either end is noticed.
      if (random() < 0.3) pieces.push(pieces.shift()!)
      return pieces.join(random() < 0.5 ? ' ' : '')
    }
    for (let size = 0; size < LONG_BYTES; ) {
      const piece = take()
      size += encoder.encode(piece).length + 1
      if (size < LONG_BYTES) pieces.push(piece)
    }
    return pieces.join(' ')
  })
