"""Rehearses somebody's own cluster configuration: a lab is derived from it, and it is loaded there as it stands.

text --> (shown_text, shell_text, placeholders) --> reading (crm, pcs, CIB) --> Configuration --> derivation
                                                                                  |                |
                                       stand_ins, with their programs  <----------+      Settings, placeholders
                                                    |                                              |
                                      Rehearsal: a lab, the configuration loaded, scenarios, verdicts
"""
