"""Rehearses somebody's own cluster configuration: a lab is derived from it, and it is loaded there as it stands.

text --> reading (crm, pcs, CIB) --> Configuration --> derivation --> Settings, placeholders, stand-ins
                                                              |
                                      Rehearsal: a lab, the configuration loaded, scenarios, verdicts
"""
