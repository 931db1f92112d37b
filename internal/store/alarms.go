package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// Alarm is a call that is to be made, for the service that keeps its alarms
// itself: on one machine.
type Alarm struct {
	Tenant     string         `json:"-"`
	ID         int64          `json:"-"` // of the schedule
	Next       time.Time      `json:"next"`
	Recurrence job.Recurrence `json:"recurrence"`
}

// All alarms lie in one partition, because the one who keeps them reads them
// all, once.
const alarmPartition = "alarm"

func alarmKey(tenant string, id int64) Key {
	return Key{alarmPartition, tenant + "/" + strconv.FormatInt(id, 10)}
}

// PutAlarm stores an alarm, in place of one with the same tenant and id.
func (s *Store) PutAlarm(ctx context.Context, a Alarm) error {
	_, err := s.d.Put(ctx, Row{Key: alarmKey(a.Tenant, a.ID), Value: encode(a)}, Always())
	return err
}

// DeleteAlarm removes an alarm. Deleting one that is not there succeeds.
func (s *Store) DeleteAlarm(ctx context.Context, tenant string, id int64) error {
	return s.d.Delete(ctx, alarmKey(tenant, id), Always())
}

// Alarms lists the alarms of all tenants.
func (s *Store) Alarms(ctx context.Context, q PageQuery) ([]Alarm, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: alarmPartition, Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	alarms := make([]Alarm, len(page.Rows))
	for i, r := range page.Rows {
		if alarms[i], err = decode[Alarm](r); err != nil {
			return nil, "", err
		}
		cut := strings.LastIndexByte(r.Key.Sort, '/')
		alarms[i].Tenant = r.Key.Sort[:max(cut, 0)]
		if alarms[i].ID, err = strconv.ParseInt(r.Key.Sort[cut+1:], 10, 64); err != nil || cut < 0 {
			return nil, "", job.Errorf(job.Corrupt, "row %s | %s cannot be read", r.Key.Partition, r.Key.Sort)
		}
	}
	return alarms, page.Next, nil
}
