/**
 * History: what the clients of a run asked and were answered, in the order in which it happened.
 * Every object is a register of its own, named by its kind and name; what clients write into it is a
 * label that is used once, so a read says which write it saw. A label begins with the creation it
 * belongs to (`c7`, then `c7.12`): an object removed and made anew is another one. Judged by
 * `registers.ts` when the run is over.
 */
export type Kind = 'service' | 'node' | 'secret' | 'config'

/** What is asked of a register. */
export type Request =
  | { readonly kind: 'create'; readonly label: string }
  | { readonly kind: 'update'; readonly from: string; readonly to: string }
  | { readonly kind: 'rollback'; readonly from: string }
  | { readonly kind: 'remove'; readonly creation: string }
  /** Linearizable. */
  | { readonly kind: 'read' }
  /** No client's: whatever was, this is what a group goes on from that was made of one survivor. */
  | { readonly kind: 'restore'; readonly label: string; readonly previous: string }

/** What became of it; a request without an answer may have been carried out, or may yet be. */
export type Answer =
  | { readonly kind: 'done' }
  /** Another one has the name. */
  | { readonly kind: 'exists' }
  /** There is none. */
  | { readonly kind: 'missing' }
  /** It is at another version than the one that the client saw. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'unknown' }
  /** The label that was read; empty when there is no object. */
  | { readonly kind: 'value'; readonly label: string }

export type Call = {
  readonly request: Request
  /** Numbers of events: a call that was answered before another one was made is before it. */
  readonly invokedAt: number
  answeredAt: number | undefined
  answer: Answer
}

export type Register = {
  readonly kind: Kind
  readonly name: string
  readonly calls: Call[]
}

export class History {
  readonly registers: Map<string, Register> = new Map()
  /** Labels that were ever written. */
  readonly labels: Set<string> = new Set()
  /** Those of specs that say that a failed update is rolled back. */
  readonly rollsBack: Set<string> = new Set()
  #events = 0
  #labelCount = 0

  /** The label of a new object. */
  newLabel(): string {
    return `c${++this.#labelCount}`
  }

  /** The label of a change to the object that has this one. */
  nextLabel(label: string): string {
    return `${creationOf(label)}.${++this.#labelCount}`
  }

  /** A client asks; the answer is filled in when there is one. */
  begin(kind: Kind, name: string, request: Request): Call {
    if (request.kind === 'create') this.labels.add(request.label)
    if (request.kind === 'update') this.labels.add(request.to)
    const call: Call = {
      request,
      invokedAt: ++this.#events,
      answeredAt: undefined,
      answer: { kind: 'unknown' },
    }
    const key = `${kind} ${name}`
    const register = this.registers.get(key)
    if (register === undefined) this.registers.set(key, { kind, name, calls: [call] })
    else register.calls.push(call)
    return call
  }

  end(call: Call, answer: Answer): void {
    if (answer.kind === 'unknown') return
    call.answeredAt = ++this.#events
    call.answer = answer
  }

  /**
   * A group begins that knows only what one survivor of the last one had: all registers are as `find`
   * says. What was asked before and has no answer may still be on its way to it.
   */
  restore(
    find: (register: Register) => { readonly label: string; readonly previous: string },
  ): void {
    for (const register of this.registers.values()) {
      const request = { kind: 'restore', ...find(register) } as const
      this.end(this.begin(register.kind, register.name, request), { kind: 'done' })
    }
  }

  /** The call came to nothing: it is as if it had not been made. */
  drop(kind: Kind, name: string, call: Call): void {
    const calls = this.registers.get(`${kind} ${name}`)?.calls
    const at = calls?.indexOf(call) ?? -1
    if (at >= 0) calls?.splice(at, 1)
  }
}

/** Which creation a label belongs to; empty for none. */
export function creationOf(label: string): string {
  return label.split('.')[0] ?? ''
}
