"""The examples of Zudu's documentation, field for field."""

from __future__ import annotations

DOCUMENTED_GET = {
    "phone_number": "+14155551234",
    "nickname": "Main Office Line",
    "organization_id": "org_1234567890",
    "area_code": 415,
    "phone_number_type": "ZUDU_TWILIO",
    "number_provider": "twilio",
    "inbound_agent_id": "agent_123",
    "outbound_agent_id": "agent_456",
    "inbound_agent_version": 1,
    "outbound_agent_version": 1,
    "inbound_webhook_url": "https://example.com/webhook",
    "inbound_trunk_id": "trunk_inbound_abc123",
    "outbound_trunk_id": "trunk_outbound_def456",
    "dispatch_rule_id": "dispatch_xyz789",
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T11:00:00Z",
}
DOCUMENTED_CREATE = {
    "phone_number": "+14157774444",
    "area_code": 415,
    "nickname": "Customer Service Line",
    "inbound_agent_id": "agent_abc123",
    "outbound_agent_id": "agent_xyz789",
    "inbound_agent_version": 1,
    "outbound_agent_version": 1,
    "inbound_webhook_url": "https://example.com/webhook",
    "number_provider": "twilio",
    "outbound_trunk_id": "ST_4Xo2mZgQsfyQ",
    "phone_number_type": "zudu-twilio",
}
DOCUMENTED_AGENTS = ("agent_abc123", "agent_xyz789")
"""Those of the create."""
DOCUMENTED_CREATED = DOCUMENTED_CREATE | {
    "organization_id": "org_123",
    "phone_number_pretty": "+1 (415) 777-4444",
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
    "last_modification_timestamp": 1703413636133,
}
