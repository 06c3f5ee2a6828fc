"""How each fault is done and undone.

`conditions` tells, purely, what all faults in force cause together, where several of them can cause the same; `layers`
keeps what one fault after the other has changed. `inside` acts in instances, `drift` in the VPC, `calls` on the API.
The `injector` keeps the faults in force.
"""
