-- After the rows, as a load does it.

CREATE INDEX idx_products_created_at ON products (created_at);
CREATE INDEX idx_products_category ON products (category_id);
CREATE INDEX idx_registrations_product ON product_registrations (product_id);
CREATE INDEX idx_registrations_state_created ON product_registrations (state, created_at);
CREATE INDEX idx_jobs_status_completed ON jobs (status, completed_at);
CREATE INDEX idx_job_items_job ON job_items (job_id);
CREATE INDEX idx_job_items_product ON job_items (product_id);
CREATE INDEX idx_audit_logs_created_at ON audit_logs (created_at);
CREATE INDEX "MixedCase_Name_idx" ON "MixedCase" ("Name");

-- Nobody looks products up by it, but it keeps duplicates out: never scanned, and not to be dropped.
ALTER TABLE products ADD CONSTRAINT products_domeggook_item_id_key UNIQUE (domeggook_item_id);
ALTER TABLE product_registrations
    ADD CONSTRAINT product_registrations_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
