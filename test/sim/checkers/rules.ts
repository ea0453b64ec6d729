/** The checkers of steps that need nothing but the steps: the rules of tasks, services and places. */
import { BudgetChecker } from './budgets.ts'
import { DelayChecker } from './delays.ts'
import { DisconnectChecker } from './disconnect.ts'
import { GenericChecker } from './generic.ts'
import { JobChecker } from './jobs.ts'
import { NeighbourChecker } from './neighbours.ts'
import { PlaceChecker } from './places.ts'
import { SlotChecker } from './slots.ts'
import type { StepChecker } from './step.ts'
import { UpdateChecker } from './updates.ts'

/** In the order in which a step is held against them. */
export function newRules(): readonly StepChecker[] {
  return [
    new PlaceChecker(),
    new SlotChecker(),
    new BudgetChecker(),
    new DelayChecker(),
    new GenericChecker(),
    new NeighbourChecker(),
    new JobChecker(),
    new DisconnectChecker(),
    new UpdateChecker(),
  ]
}
