import { backend } from '@/lib/provider'
import { FAULTS, type Fault } from '@/lib/types'

export async function PUT(request: Request): Promise<Response> {
  const { fault } = (await request.json().catch(() => ({}))) as { fault?: Fault }
  const { setFault, status } = await backend()
  if (!setFault)
    return Response.json({ error: { message: 'a real provider has no faults to choose' } }, { status: 409 })
  if (!fault || !FAULTS.includes(fault)) {
    return Response.json({ error: { message: `fault: one of ${FAULTS.join(', ')}` } }, { status: 400 })
  }
  setFault(fault)
  return Response.json(status())
}
