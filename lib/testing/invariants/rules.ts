/** What a history may be found guilty of. */
export const RULES = {
  lost: 'An acked command is not in the room where its ack says.',
  duplicate:
    'One message id, or one command, stands under two sequences, or a reader was shown one twice.',
  hole: 'A reader did not get a sequence that it was due.',
  order:
    'Two observers saw different events under one sequence, or commands of a lineage out of order.',
  leak: 'A reader got a sequence that it may not see.',
  phantom: 'An event is there that nobody sent, or whose command was refused for good.',
  ack: 'A command was answered in two ways, or two commands by one event.',
  balance: 'A command was never answered, or an event has no ack, though all is settled.',
  position: 'A position that only rises fell.',
} as const
export type Rule = keyof typeof RULES
export type Violation = { readonly rule: Rule; readonly where: string; readonly what: string }

/** Tells of a violation: `where` names the room and the observer. */
export type Report = (rule: Rule, where: string, what: string) => void
